import type { ComponentProps } from "react";
import styles from "./button.module.css";

type Kind = "primary" | "plain" | "danger";

/** A button with words on it. */
export function Button({ kind = "plain", className, ...rest }: ComponentProps<"button"> & { kind?: Kind }) {
  return <button type="button" {...rest} className={[styles.button, styles[kind], className].join(" ")} />;
}
