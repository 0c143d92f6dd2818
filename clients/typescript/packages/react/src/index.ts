"use client";

/**
 * React hooks for Parlour: one provider, one connection, live channels and messages.
 *
 * Hooks only subscribe: all state lives in the client, which `@parlour/client` keeps current.
 *
 * @module
 */

export { useChannel, type UseChannel } from "./use_channel.js";
export { useChannels, type UseChannels } from "./use_channels.js";
export { useAttendance, useConnection, useMe, useMessages, usePresence, useTyping, useUnread } from "./hooks.js";
export { ParlourProvider, type ParlourProviderProps, useClient } from "./provider.js";
