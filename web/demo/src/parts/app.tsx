import { Suspense, use } from "react";
import { loadConfig } from "../dev_server.js";
import { usePlace } from "../hooks/use_place.js";
import type { Place } from "../logic/place.js";
import { Chat } from "./chat.js";
import { ErrorBoundary } from "./error_boundary.js";
import { SideBySide } from "./side_by_side.js";
import { SignIn } from "./sign_in.js";
import { Splash } from "./splash.js";
import { Toasts } from "./toasts.js";
import { Trouble } from "./trouble.js";

const loading = loadConfig();

/** Chooses the page. */
export function App() {
  const place = usePlace();
  if (place.at === "side") return <SideBySide users={place.users} channel={place.channel} />;
  return (
    <ErrorBoundary
      fallback={(error) => <Trouble title="This should not have happened" why={String(error)} />}
    >
      <Suspense fallback={<Splash />}>
        <Page place={place} />
        <Toasts />
      </Suspense>
    </ErrorBoundary>
  );
}

function Page({ place }: { place: Exclude<Place, { at: "side" }> }) {
  const loaded = use(loading);
  if ("why" in loaded) {
    const why = `${loaded.why} Start one with “parlour dev”, and open the address that it prints.`;
    return <Trouble title="The demo needs a development server" why={why} />;
  }
  if (place.at === "sign_in") return <SignIn users={loaded.config.users} refused={place.refused} />;
  // Another user is another session: nothing of the first one's may be left.
  return <Chat key={place.user} config={loaded.config} place={place} />;
}
