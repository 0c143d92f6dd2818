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

export type ParlourProviderProps = Own | Made;

const Context = createContext<Client | undefined>(undefined);

/** Holds the user's connection as long as it is mounted. Mounted twice, it is one connection; unmounting logs nobody out. */
export function ParlourProvider(props: ParlourProviderProps): ReactNode {
  const { children, client, user, token, ...options } = props as Made & { client?: Client };
  const latest = useRef({ user, token });
  // Options that are written in place are new objects at each render, and the same client.
  const key = JSON.stringify([options.url, options.appKey, options.presence, options.device, options.callTimeoutMs]);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- `key` stands for the options
  const value = useMemo(() => client ?? new Client(options), [client, key]);
  const id = typeof user === "string" ? user : user?.id;
  const fields = JSON.stringify(user);
  const hasToken = token !== undefined;

  useEffect(() => {
    latest.current = { user, token };
  });

  useEffect(() => {
    if (client || !id) return;
    return () => value.close();
  }, [client, value, id]);

  useEffect(() => {
    const { user, token } = latest.current;
    if (client || !user || !token) return;
    // How it went stands in `useConnection`.
    value.connectUser(user, () => fresh(latest.current.token)).catch(() => {});
  }, [client, value, id, fields, hasToken]);

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
