//! A running server, for the commands that speak to it as the app's backend.

use clap::Args;
use parlour_client::ServerClient;

use super::Usage;
use super::chat::given;
use super::token::SecretArgs;

/// Where the server is, and what the app proves itself with.
#[derive(Args)]
pub(crate) struct ServerArgs {
    /// The server [default: PARLOUR_URL, or http://127.0.0.1:8790]
    #[arg(long, global = true)]
    url: Option<String>,
    #[command(flatten)]
    secret: SecretArgs,
}

impl ServerArgs {
    /// The app's backend. Asks nobody yet.
    pub(crate) fn client(self) -> anyhow::Result<ServerClient> {
        let url = given(self.url, "PARLOUR_URL").unwrap_or_else(|| "http://127.0.0.1:8790".to_owned());
        let (key, secret) = self.secret.read()?;
        let Some(key) = key else {
            return Err(Usage("no app key: give --app-key or set PARLOUR_APP_KEY".to_owned()).into());
        };
        Ok(ServerClient::new(&url, &key, &secret)?)
    }
}
