import { usePresence } from "@parlour/react";

/** Whether somebody is there; false without anybody to ask for. */
export function useOnline(userId: string | undefined): boolean {
  return usePresence(userId)?.online ?? false;
}
