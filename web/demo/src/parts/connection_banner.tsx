import type { ConnectionStatus } from "@parlour/client";
import { useClient, useConnection } from "@parlour/react";
import type { ReactNode } from "react";
import { useCountdown } from "../hooks/use_countdown.js";
import { go } from "../hooks/use_place.js";
import { safeHref } from "../logic/links.js";
import { sentence } from "../logic/people.js";
import { Button } from "./button.js";
import styles from "./connection_banner.module.css";
import { Icon, type IconName } from "./icon.js";

interface Notice {
  icon: IconName;
  bad: boolean;
  text: string;
  /** What one can do about it. */
  action: ReactNode;
}

/** Tells when the connection is not as it should be, and what helps. Silent while all is well. */
export function ConnectionBanner() {
  const client = useClient();
  const connection = useConnection();
  const notice = noticeOf(connection, {
    // How it went stands in the connection's state.
    connect: () => void client.connect().catch(() => undefined),
    retry: () => client.retryNow(),
    signIn: () => go({ at: "sign_in" }),
  });
  return (
    <section
      className={styles.banner}
      aria-label="Connection notice"
      data-shown={notice !== undefined}
      data-bad={notice?.bad}
    >
      <div className={styles.inner}>
        {notice && <Icon name={notice.icon} size={18} />}
        <p className={styles.text} role="status" aria-live="polite" aria-label="Connection">
          {notice?.text}
        </p>
        {notice?.action}
      </div>
    </section>
  );
}

interface Actions {
  connect: () => void;
  retry: () => void;
  signIn: () => void;
}

function noticeOf(connection: ConnectionStatus, actions: Actions): Notice | undefined {
  switch (connection.uiStatus) {
    case "online":
      return undefined;
    case "reconnecting":
      return {
        icon: "offline",
        bad: false,
        text: "Connection lost. Your messages are sent when it is back.",
        action: <Retry retryAt={connection.retryAt} onRetry={actions.retry} />,
      };
    case "offline":
      return {
        icon: "offline",
        bad: false,
        text: connection.state === "no_network" ? "No network. It goes on by itself." : "You are offline.",
        action: (
          <Button onClick={connection.state === "no_network" ? actions.retry : actions.connect}>
            Connect
          </Button>
        ),
      };
    case "needs_action":
      return {
        icon: "alert",
        bad: true,
        text: sentence(connection.error?.message ?? "the connection has ended"),
        action: (
          <>
            <Docs href={connection.error?.docs} />
            <Button onClick={actions.connect}>Connect again</Button>
          </>
        ),
      };
    case "signed_out":
      // Before the first connect there is no user either, for the blink of an eye.
      if (connection.state === "idle") return undefined;
      return {
        icon: "leave",
        bad: false,
        text: "You are signed out.",
        action: <Button onClick={actions.signIn}>Sign in</Button>,
      };
  }
}

/** The seconds are for the eye alone: a screen reader that counts along would never fall silent. */
function Retry({ retryAt, onRetry }: { retryAt: number | undefined; onRetry: () => void }) {
  const seconds = useCountdown(retryAt);
  return (
    <>
      <span className={styles.seconds} aria-hidden="true">
        {seconds === undefined || seconds === 0 ? "Connecting…" : `Next try in ${seconds} s`}
      </span>
      <Button onClick={onRetry}>Try now</Button>
    </>
  );
}

function Docs({ href }: { href: string | undefined }) {
  const safe = href === undefined ? undefined : safeHref(href);
  if (safe === undefined) return null;
  return (
    <a className={styles.docs} href={safe} target="_blank" rel="noopener noreferrer">
      What this means
    </a>
  );
}
