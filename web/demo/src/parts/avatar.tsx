import { memo, useState } from "react";
import { safeImage } from "../logic/links.js";
import { hueOf, initials, nameOf } from "../logic/people.js";
import styles from "./avatar.module.css";

interface Props {
  user: { id: string; name?: string; image?: string };
  /** In pixels. */
  size?: number;
  online?: boolean;
}

/** A picture of somebody, or initials on a colour. The name stands beside it, so it says nothing itself. */
export const Avatar = memo(function Avatar({ user, size = 36, online = false }: Props) {
  const image = safeImage(user.image);
  const [broken, setBroken] = useState<string>();
  const dot = Math.max(10, Math.round(size * 0.28));
  const shown = image !== undefined && image !== broken;
  return (
    <span
      className={`${styles.avatar} ${styles[`hue${hueOf(user.id)}`]}`}
      style={{ width: size, height: size, fontSize: size * 0.4 }}
      aria-hidden="true"
    >
      {shown ? (
        <img
          className={styles.image}
          src={image}
          alt=""
          loading="lazy"
          referrerPolicy="no-referrer"
          onError={() => setBroken(image)}
        />
      ) : (
        initials(nameOf(user))
      )}
      {online && <span className={styles.dot} style={{ width: dot, height: dot }} />}
    </span>
  );
});
