import styles from "./brand.module.css";

/** The mark and the name. */
export function Brand() {
  return (
    <span className={styles.brand}>
      <img src={`${import.meta.env.BASE_URL}favicon.svg`} alt="" width="28" height="28" />
      Parlour
    </span>
  );
}
