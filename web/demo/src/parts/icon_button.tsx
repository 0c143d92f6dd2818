import type { ComponentProps } from "react";
import { Icon, type IconName } from "./icon.js";
import styles from "./icon_button.module.css";

interface Named {
  /** What it does: the name for screen readers, and the tooltip. */
  label: string;
  icon: IconName;
  size?: number;
}

/** A button with a picture on it. */
export function IconButton({ label, icon, size = 20, className, ...rest }: ComponentProps<"button"> & Named) {
  const classes = [styles.button, className].join(" ");
  return (
    <button type="button" title={label} aria-label={label} {...rest} className={classes}>
      <Icon name={icon} size={size} />
    </button>
  );
}

/** The same for what leads elsewhere. */
export function IconLink({ label, icon, size = 20, className, ...rest }: ComponentProps<"a"> & Named) {
  return (
    <a title={label} aria-label={label} {...rest} className={[styles.button, className].join(" ")}>
      <Icon name={icon} size={size} />
    </a>
  );
}
