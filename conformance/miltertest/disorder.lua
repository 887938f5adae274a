-- Unknown commands, a session that is broken off, and one without a client.
local conn = assert(mt.connect(socket, 40, 0.05), "cannot connect")
-- The steps stand before the actions, whatever its manual says.
assert(mt.negotiate(conn, 6, 0x1, 0x1FF) == nil, "negotiation failed")
assert(mt.conninfo(conn, "localhost", "unspec") == nil, "conninfo failed")
assert(mt.unknown(conn, "FOO bar") == nil, "unknown failed")
assert(mt.getreply(conn) == SMFIR_CONTINUE, "an unknown command is not taken")
assert(mt.mailfrom(conn, "<a@x.example>") == nil, "mailfrom failed")
assert(mt.rcptto(conn, "<b@example.org>") == nil, "rcptto failed")
assert(mt.getreply(conn) == SMFIR_CONTINUE, "a client of no network waits")
mt.disconnect(conn, false)

conn = assert(mt.connect(socket), "cannot connect again")
assert(mt.conninfo(conn, "[192.0.2.9]", "192.0.2.9") == nil, "conninfo failed")
assert(mt.mailfrom(conn, "<a@x.example>") == nil, "mailfrom failed")
assert(mt.rcptto(conn, "<e@example.org>") == nil, "rcptto failed")
assert(mt.getreply(conn) == SMFIR_REPLYCODE, "a newcomer does not wait")
mt.disconnect(conn, false)
