// What a browser's bundle gets in the place of `@parlour/client/server`: an error that says what to do.
//
// Thrown at the import, so that a page which would ship the app's secret does not even begin to work.

import { parlourError } from "./errors.js";
import type * as server from "./server.js";

export { ParlourError } from "./errors.js";
export type * from "./server.js";
export type ServerClient = server.ServerClient;
export type ActingUser = server.ActingUser;
export type ActingChannel = server.ActingChannel;

function refuse(): never {
  throw parlourError(
    "invalid_input",
    "@parlour/client/server holds your app's secret and must not be part of a web page: whoever opens the " +
      "page could read it. Use it in your backend; in the page use `Client` of @parlour/client.",
  );
}

export const ServerClient: typeof server.ServerClient = refuse();
export const ActingUser: typeof server.ActingUser = refuse();
export const ActingChannel: typeof server.ActingChannel = refuse();
