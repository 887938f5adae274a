-- A bounce that is judged at its end: the whole message gets the reply.
local conn = assert(mt.connect(socket, 40, 0.05), "cannot connect")
assert(mt.conninfo(conn, "[192.0.2.9]", "192.0.2.9") == nil, "conninfo failed")
assert(mt.mailfrom(conn, "<>") == nil, "mailfrom failed")
assert(mt.rcptto(conn, "<b@example.org>") == nil, "rcptto failed")
assert(mt.getreply(conn) == SMFIR_CONTINUE, "it is judged at its recipient")
assert(mt.eom(conn) == nil, "eom failed")
assert(mt.getreply(conn) == SMFIR_REPLYCODE, "it does not wait")
assert(
  mt.eom_check(conn, MT_SMTPREPLY, "451", "4.7.1", "Greylisted, please try again in 60 seconds"),
  "another text"
)
assert(not mt.eom_check(conn, MT_HDRINSERT), "a header for a message that waits")
mt.disconnect(conn)
