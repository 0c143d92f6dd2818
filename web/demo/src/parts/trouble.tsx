import { Brand } from "./brand.js";
import { Button } from "./button.js";
import styles from "./card_page.module.css";

/** The demo cannot go on, why, and the one thing to try. */
export function Trouble({ title, why }: { title: string; why: string }) {
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <Brand />
        <h1 className={styles.title}>{title}</h1>
        <p className={styles.text} role="alert">
          {why}
        </p>
        <Button kind="primary" onClick={() => location.reload()}>
          Try again
        </Button>
      </div>
    </main>
  );
}
