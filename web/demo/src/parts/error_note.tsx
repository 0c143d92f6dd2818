import { sentence } from "../logic/people.js";
import field from "./field.module.css";

/** Why something that was asked for did not happen. */
export function ErrorNote({ error }: { error: unknown }) {
  if (error === undefined) return null;
  return (
    <p className={field.error} role="alert">
      {sentence(error instanceof Error ? error.message : String(error))}
    </p>
  );
}
