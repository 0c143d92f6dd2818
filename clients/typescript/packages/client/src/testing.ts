// For tests of apps: a server in memory, and a clock that the test moves.
//
// Not for an app's own code: nothing of it is in what a page loads.

export { FakeServer, type Seen } from "./testing/fake_server.js";
export { type FakeTimers, VirtualClock } from "./testing/clock.js";
