import { Brand } from "./brand.js";
import { Button } from "./button.js";
import styles from "./card_page.module.css";

/** The demo cannot begin, and what to do about it. */
export function Trouble({ why }: { why: string }) {
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <Brand />
        <h1 className={styles.title}>The demo needs a development server</h1>
        <p className={styles.text} role="alert">
          {why} Start one with <code>parlour dev</code>, and open the address that it prints.
        </p>
        <Button kind="primary" onClick={() => location.reload()}>
          Try again
        </Button>
      </div>
    </main>
  );
}
