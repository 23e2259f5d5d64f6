"""WebSockets as all transports hold them: upgrades, frames, a bounded outbox, heartbeat, an end with a code."""
