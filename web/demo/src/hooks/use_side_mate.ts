import { useChannel } from "@parlour/react";
import { isCid } from "../logic/ids.js";
import type { Place } from "../logic/place.js";
import { useSession } from "../parts/session.js";

/** Where one has somebody at one's side: of the open channel, if somebody of the demo's people is in it. */
export function useSideMate(): { name: string; to: Place } | undefined {
  const { me, config, place } = useSession();
  const { data, members } = useChannel(isCid(place.channel) ? place.channel : undefined);
  const others = config.users.filter((user) => user.id !== me);
  const inside = others.find((user) => members.some((member) => member.user_id === user.id));
  const mate = inside ?? others[0];
  if (!mate) return undefined;
  const isOpenToBoth = inside !== undefined || data?.type === "livestream";
  const channel = isOpenToBoth && place.channel !== undefined ? { channel: place.channel } : {};
  return { name: mate.name, to: { at: "side", users: [me, mate.id], ...channel } };
}
