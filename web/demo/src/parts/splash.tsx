import styles from "./splash.module.css";

/**
 * While the page learns whom it may play. Stays blank for a moment: what is over at once should not flash.
 */
export function Splash() {
  return (
    <div className={styles.splash} role="status">
      <span className={styles.spinner} />
      <span className="hidden-visually">Loading</span>
    </div>
  );
}
