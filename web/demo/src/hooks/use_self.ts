import type { UserBrief } from "@parlour/client";
import { useMe } from "@parlour/react";
import { briefOf } from "../logic/people.js";
import { useSession } from "../parts/session.js";

/** Oneself: as the server knows one, and until it has said so as the address and the demo's people do. */
export function useSelf(): UserBrief {
  const { me, config, place } = useSession();
  const stored = useMe();
  if (stored) return briefOf(stored);
  return briefOf({ id: me, name: place.name ?? config.users.find((user) => user.id === me)?.name });
}
