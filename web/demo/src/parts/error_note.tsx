import { ParlourError } from "@parlour/client";
import field from "./field.module.css";

/** Why something that was asked for did not happen, and what to do about it. */
export function ErrorNote({ error }: { error: unknown }) {
  if (error === undefined) return null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <p className={field.error} role="alert">
      {message} {error instanceof ParlourError && error.hint}
    </p>
  );
}
