import { Client, type ClientOptions, type TokenProvider, type UserInput } from "@parlour/client";
import { createContext, createElement, type ReactNode, useContext, useEffect, useMemo, useRef } from "react";

type Common = { children?: ReactNode };
type Own = Common & {
  /** A client that the app made, connects and disconnects itself. */
  client: Client;
};
type Made = Common &
  ClientOptions & {
    /** Who connects; without one nothing is opened. Another id is another user. Fields are merged when it connects. */
    user?: UserInput | string | null | undefined;
    /** The user's token, or what gives it. A new function per render is no reason to connect anew. */
    token?: TokenProvider | undefined;
    client?: undefined;
  };

/**
 * Either a client, or what makes one. Another `url` or `appKey` makes another; `presence` and `user` may change at
 * any time; the other options are read when the client is made.
 */
export type ParlourProviderProps = Own | Made;

const Context = createContext<Client | undefined>(undefined);

/** Holds the user's connection as long as it is mounted. Mounted twice, it is one connection; unmounting logs nobody out. */
export function ParlourProvider(props: ParlourProviderProps): ReactNode {
  const { children, client, user, token, ...options } = props as Made & { client?: Client };
  const latest = useRef({ user, token });
  const value = useMemo(() => client ?? new Client(options), [client, options.url, options.appKey]);
  const id = typeof user === "string" ? user : user?.id;
  // Written in place, these are new objects at each render, and say the same.
  const fields = JSON.stringify(user);
  const presence = JSON.stringify(options.presence);
  const hasToken = token !== undefined;

  useEffect(() => {
    latest.current = { user, token };
  });

  useEffect(() => {
    if (!client) value.setPresence(options.presence ?? "none");
  }, [client, value, presence]);

  useEffect(() => {
    if (id) return () => value.close();
    return;
  }, [value, id]);

  useEffect(() => {
    const { user, token } = latest.current;
    if (!user || !token) return;
    // How it went stands in `useConnection`.
    value.connectUser(user, () => fresh(latest.current.token)).catch(() => {});
  }, [value, fields, hasToken]);

  return createElement(Context.Provider, { value }, children);
}

async function fresh(token: TokenProvider | undefined): Promise<string> {
  return typeof token === "function" ? token() : (token ?? "");
}

/** The client of the provider around. Throws where there is none. */
export function useClient(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("useClient and all other hooks of Parlour need a <ParlourProvider> around them");
  return client;
}
