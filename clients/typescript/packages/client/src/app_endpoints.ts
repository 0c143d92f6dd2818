// The calls that only an app's backend makes: one function per endpoint, as in endpoints.ts. No page loads them.

import type { Request } from "./endpoints.js";
import type { AddKey, AppResponse, JwksInfo, KeyResponse, RevokedTokens, RevokeTokens } from "./wire.js";

export const app: Request<AppResponse> = { method: "GET", path: ["app"] };

export const addKey = (key: AddKey): Request<KeyResponse> => ({ method: "POST", path: ["app", "keys"], body: key });

export const removeKey = (kid: string): Request<void> => ({ method: "DELETE", path: ["app", "keys", kid] });

export const setJwks = (url: string): Request<JwksInfo> => ({
  method: "PUT",
  path: ["app", "jwks"],
  body: { url },
  field: "jwks",
});

export const removeJwks: Request<void> = { method: "DELETE", path: ["app", "jwks"] };

export const revokeTokens = (userId: string, request: RevokeTokens): Request<RevokedTokens> => ({
  method: "POST",
  path: ["users", userId, "revoke_tokens"],
  body: request,
});

export const revokeAllTokens = (request: RevokeTokens): Request<RevokedTokens> => ({
  method: "POST",
  path: ["app", "revoke_tokens"],
  body: request,
});
