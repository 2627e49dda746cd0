#!lua flags=allow-oom
-- The node of a lease has no watcher in the room any more.
-- needs members
-- KEYS: watchers
-- ARGV: lease
-- Reply: 1
unwatch(KEYS[1], ARGV[1])
return 1
