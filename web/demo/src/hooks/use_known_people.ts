import type { UserBrief } from "@parlour/client";
import { useChannels } from "@parlour/react";
import { useMemo } from "react";
import { useSession } from "../parts/session.js";

/** People whom one may want to write to: those of the demo, and those of one's channels. */
export function useKnownPeople(): readonly UserBrief[] {
  const { me, config } = useSession();
  const query = useMemo(() => ({ filter: { members: { $in: [me] } }, limit: 30 }), [me]);
  const { channels } = useChannels(query);
  return useMemo(() => {
    const people = new Map<string, UserBrief>(config.users.map((user) => [user.id, user]));
    for (const channel of channels) {
      for (const { user } of channel.view.get().members) if (!people.has(user.id)) people.set(user.id, user);
    }
    people.delete(me);
    return [...people.values()];
  }, [channels, config, me]);
}
