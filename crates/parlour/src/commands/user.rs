//! `parlour user`: the app's users, by a running server.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use parlour_client::ServerClient;
use parlour_client::wire::channels::SortBy;
use parlour_client::wire::devices::Device;
use parlour_client::wire::tasks::{ChannelsOfDeleted, MessagesOfDeleted, Task, TaskStatus};
use parlour_client::wire::users::{DeleteUser, PartialUpdate, QueryUsers, User, UserInput};
use serde_json::{Map, Value};

use super::Usage;
use super::chat::{plain, print_line};
use super::server::ServerArgs;

/// How often a task that is waited for is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Shows and changes the app's users.
#[derive(Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Print users, up to 100.
    Show {
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Print the users that match.
    Query(QueryArgs),
    /// Make or replace users: JSON objects with an `id`, each an argument, or lines of the standard input.
    Upsert { users: Vec<String> },
    /// Set and remove fields of a user.
    Update(UpdateArgs),
    /// Let a user neither connect nor do anything, until it is reactivated.
    Deactivate { id: String },
    /// Let a deactivated user come back.
    Reactivate { id: String },
    /// Delete a user: so that it can be restored, or for good.
    Delete(DeleteArgs),
    /// Bring back a user who was deleted, but not for good.
    Restore { id: String },
    /// Write all that is stored of a user, as lines of JSON.
    Export {
        id: String,
        /// Where to [default: the standard output]
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Print a user's devices for push, or remove one.
    Devices {
        id: String,
        /// The id of the device to remove
        #[arg(long)]
        remove: Option<String>,
    },
}

#[derive(Args)]
struct QueryArgs {
    /// A filter in JSON, such as `{"teams": "red", "name": {"$autocomplete": "a"}}`
    #[arg(long, default_value = "{}")]
    filter: String,
    /// Fields to sort by, the first first; `-name` for descending
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    sort: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 30)]
    limit: usize,
    /// Deactivated and deleted users too
    #[arg(long)]
    include_inactive: bool,
}

#[derive(Args)]
struct UpdateArgs {
    id: String,
    /// `field=value`: the value is JSON, or else text
    #[arg(long)]
    set: Vec<String>,
    /// A field to remove
    #[arg(long)]
    unset: Vec<String>,
}

#[derive(Args)]
struct DeleteArgs {
    id: String,
    /// For good: nothing brings the user back, and its id is not given again
    #[arg(long)]
    hard: bool,
    /// What becomes of its messages
    #[arg(long, value_enum, default_value_t = Messages::Keep)]
    messages: Messages,
    /// What becomes of its channels
    #[arg(long, value_enum, default_value_t = Channels::Keep)]
    channels: Channels,
    /// Do not wait until the work is done
    #[arg(long)]
    no_wait: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Messages {
    /// They stay
    Keep,
    /// Their text goes
    Soft,
    /// They go
    Hard,
}

#[derive(Clone, Copy, ValueEnum)]
enum Channels {
    /// They stay, without the user
    Keep,
    /// Those of the user and at most one other are deleted
    Direct,
}

pub(crate) async fn run(args: UserArgs) -> anyhow::Result<()> {
    let server = args.server.client()?;
    let shows = Shows { json: args.json };
    match args.action {
        Action::Show { ids } => {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let users = server.users(&ids).await?;
            anyhow::ensure!(!users.is_empty(), "there is no such user");
            shows.users(&users)
        }
        Action::Query(query) => self::query(&server, query, &shows).await,
        Action::Upsert { users } => shows.users(&server.upsert_users(inputs(users)?).await?),
        Action::Update(update) => {
            let change =
                PartialUpdate { set: fields(&update.set)?.into_iter().collect(), unset: update.unset };
            shows.users(&[server.update_user(&update.id, change).await?])
        }
        Action::Deactivate { id } => shows.users(&[server.deactivate_user(&id).await?]),
        Action::Reactivate { id } => shows.users(&[server.reactivate_user(&id).await?]),
        Action::Restore { id } => shows.users(&[server.restore_user(&id).await?]),
        Action::Delete(delete) => {
            let how = DeleteUser {
                hard: delete.hard,
                messages: match delete.messages {
                    Messages::Keep => MessagesOfDeleted::Keep,
                    Messages::Soft => MessagesOfDeleted::Soft,
                    Messages::Hard => MessagesOfDeleted::Hard,
                },
                channels: match delete.channels {
                    Channels::Keep => ChannelsOfDeleted::Keep,
                    Channels::Direct => ChannelsOfDeleted::Direct,
                },
            };
            let task = server.delete_user(&delete.id, &how).await?;
            let task = if delete.no_wait { task } else { finished(&server, task).await? };
            shows.task(&task)
        }
        Action::Export { id, output } => {
            let task = server.export_user(&id).await?;
            let task = finished(&server, task).await?;
            let lines = server.task_result(&task.id).await?;
            match output {
                Some(path) => {
                    std::fs::write(&path, &lines).with_context(|| format!("writing {}", path.display()))
                }
                None => {
                    std::io::stdout().lock().write_all(&lines).context("nobody reads the output any more")
                }
            }
        }
        Action::Devices { id, remove } => {
            let user = server.as_user(&id)?;
            if let Some(device) = remove {
                user.remove_device(&device).await?;
            }
            shows.devices(&user.devices().await?)
        }
    }
}

async fn query(server: &ServerClient, args: QueryArgs, shows: &Shows) -> anyhow::Result<()> {
    let filter: Map<String, Value> = serde_json::from_str(&args.filter)
        .map_err(|error| Usage(format!("--filter is no JSON object: {error}")))?;
    let sort = args.sort.iter().map(|key| match key.strip_prefix('-') {
        Some(field) => SortBy { field: field.to_owned(), direction: -1 },
        None => SortBy { field: key.clone(), direction: 1 },
    });
    let mut query = QueryUsers {
        filter: filter.into_iter().collect(),
        sort: sort.collect(),
        include_inactive: args.include_inactive,
        ..QueryUsers::default()
    };
    let mut left = args.limit;
    while left > 0 {
        query.limit = u32::try_from(left.min(100)).ok();
        let page = server.query_users(&query).await?;
        shows.users(&page.users)?;
        left -= page.users.len().min(left);
        query.next = page.next;
        if query.next.is_none() {
            break;
        }
    }
    Ok(())
}

/// Waits until the task is at its end.
async fn finished(server: &ServerClient, mut task: Task) -> anyhow::Result<Task> {
    while matches!(task.status, TaskStatus::Waiting | TaskStatus::Running) {
        tokio::time::sleep(ASK_EVERY).await;
        task = server.task(&task.id).await?;
    }
    match task.error {
        Some(error) => Err(parlour_client::Error::from(error).into()),
        None => Ok(task),
    }
}

/// Users as objects in JSON: of the arguments, or else of the standard input's lines.
fn inputs(given: Vec<String>) -> anyhow::Result<Vec<UserInput>> {
    let texts = if given.is_empty() {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).context("reading the standard input")?;
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    } else {
        given
    };
    let read = |text: &String| -> anyhow::Result<UserInput> {
        serde_json::from_str(text).map_err(|error| Usage(format!("no user in JSON: {error}: {text}")).into())
    };
    texts.iter().map(read).collect()
}

/// `field=value` each.
fn fields(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let read = |text: &String| -> anyhow::Result<(String, Value)> {
        let (field, value) = text
            .split_once('=')
            .ok_or_else(|| Usage(format!("--set takes field=value; {text:?} has no equals sign")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok((field.to_owned(), value))
    };
    given.iter().map(read).collect()
}

struct Shows {
    json: bool,
}

impl Shows {
    fn users(&self, users: &[User]) -> anyhow::Result<()> {
        for user in users {
            if self.json {
                print_line(&serde_json::to_string(user)?)?;
                continue;
            }
            let teams: Vec<&str> = user.teams.iter().map(|team| team.as_str()).collect();
            let state = match (user.deleted_at, user.deactivated_at) {
                (Some(at), _) => format!("deleted {at}"),
                (None, Some(at)) => format!("deactivated {at}"),
                (None, None) if user.online => "online".to_owned(),
                (None, None) => user.last_active.map_or("never seen".to_owned(), |at| format!("seen {at}")),
            };
            let name = plain(user.display_name());
            let (id, role) = (user.id.as_str(), user.role.as_str());
            let line = format!("{id:<24} {name:<24} {role:<10} {:<16} {state}", teams.join(","));
            print_line(line.trim_end())?;
        }
        Ok(())
    }

    fn task(&self, task: &Task) -> anyhow::Result<()> {
        if self.json {
            return print_line(&serde_json::to_string(task)?);
        }
        let (percent, done) = (task.progress.percent, task.progress.done);
        print_line(&format!("{} {} {} {percent} % ({done} done)", task.id, task.kind, task.status))
    }

    fn devices(&self, devices: &[Device]) -> anyhow::Result<()> {
        for device in devices {
            if self.json {
                print_line(&serde_json::to_string(device)?)?;
            } else {
                let (provider, id) = (device.provider.as_str(), plain(&device.id));
                print_line(&format!("{provider:<8} {} {id}", device.created_at))?;
            }
        }
        Ok(())
    }
}
