// Who plays here, and where: what most parts need and none changes.

import { createContext, useContext } from "react";
import type { DemoConfig } from "../dev_server.js";
import type { Place } from "../logic/place.js";

export type ChatPlace = Extract<Place, { at: "chat" }>;

export interface Session {
  /** The id of the user. */
  me: string;
  config: DemoConfig;
  place: ChatPlace;
}

export const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("useSession is used outside of a chat.");
  return session;
}

/** The place of a channel, or of the list, in this session. */
export function placeOf(session: Session, cid: string | undefined): ChatPlace {
  const { channel: _, ...rest } = session.place;
  return cid === undefined ? rest : { ...rest, channel: cid };
}
