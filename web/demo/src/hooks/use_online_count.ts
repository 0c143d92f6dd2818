import type { Member } from "@parlour/client";
import { useClient } from "@parlour/react";
import { useMemo, useSyncExternalStore } from "react";

/** How many of these members are there. */
export function useOnlineCount(members: readonly Member[]): number {
  const client = useClient();
  const store = useMemo(() => {
    const presences = members.map((member) => client.presence(member.user_id));
    return {
      get: () => presences.filter((presence) => presence.get()?.online).length,
      subscribe: (listener: () => void) => {
        const stops = presences.map((presence) => presence.subscribe(listener));
        return () => stops.forEach((stop) => stop());
      },
    };
  }, [client, members]);
  return useSyncExternalStore(store.subscribe, store.get);
}
