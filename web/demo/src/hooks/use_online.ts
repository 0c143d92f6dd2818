import type { Observable, Presence } from "@parlour/client";
import { useClient } from "@parlour/react";
import { useMemo } from "react";
import { useObservable } from "./use_observable.js";

const NOBODY: Observable<undefined> = { get: () => undefined, subscribe: () => () => undefined };

/** Whether somebody is there; false without anybody to ask for. */
export function useOnline(userId: string | undefined): boolean {
  return usePresenceOf(userId)?.online ?? false;
}

/** The presence of somebody; undefined while it is not known, and without anybody to ask for. */
export function usePresenceOf(userId: string | undefined): Presence | undefined {
  const client = useClient();
  const presence = useMemo<Observable<Presence | undefined>>(
    () => (userId === undefined ? NOBODY : client.presence(userId)),
    [client, userId],
  );
  return useObservable(presence);
}
