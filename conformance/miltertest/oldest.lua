-- Version 2 with the actions and steps that it had: every step comes and is
-- answered, and the header is added behind the others.
local conn = assert(mt.connect(socket, 40, 0.05), "cannot connect")
-- The steps stand before the actions, whatever its manual says.
assert(mt.negotiate(conn, 2, 0x7F, 0x3F) == nil, "negotiation failed")
assert(mt.conninfo(conn, "[192.0.2.9]", "192.0.2.9") == nil, "conninfo failed")
assert(mt.getreply(conn) == SMFIR_CONTINUE, "the client is not taken")
assert(mt.helo(conn, "client.example") == nil, "helo failed")
assert(mt.getreply(conn) == SMFIR_CONTINUE, "HELO is not taken")
assert(mt.mailfrom(conn, "<a@x.example>") == nil, "mailfrom failed")
assert(mt.getreply(conn) == SMFIR_CONTINUE, "MAIL is not taken")
assert(mt.rcptto(conn, "<d@example.org>") == nil, "rcptto failed")
assert(mt.getreply(conn) == (waits and SMFIR_REPLYCODE or SMFIR_CONTINUE), "another verdict")
if not waits then
  assert(mt.eom(conn) == nil, "eom failed")
  assert(mt.eom_check(conn, MT_HDRADD, "X-Greylist", header), "no header, or another")
end
mt.disconnect(conn)
