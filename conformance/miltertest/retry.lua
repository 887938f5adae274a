-- After the delay the recipients pass, and the message gets one header at its
-- end; the next on the same connection gets none.
local conn = assert(mt.connect(socket, 40, 0.05), "cannot connect")
assert(mt.conninfo(conn, "[192.0.2.9]", "192.0.2.9") == nil, "conninfo failed")
assert(mt.helo(conn, "client.example") == nil, "helo failed")

local function message()
  assert(mt.mailfrom(conn, "<a@x.example>") == nil, "mailfrom failed")
  for _, recipient in ipairs({"<b@example.org>", "<c@example.org>"}) do
    assert(mt.rcptto(conn, recipient) == nil, "rcptto failed")
    assert(mt.getreply(conn) == SMFIR_CONTINUE, "the retry waits")
  end
  -- None of these is asked for, which miltertest takes for a mistake of ours.
  for _, step in ipairs({mt.data, mt.header, mt.eoh, mt.bodystring}) do
    assert(not pcall(step, conn, "x", "y"), "a step comes that nobody asked for")
  end
  assert(mt.eom(conn) == nil, "eom failed")
  assert(mt.getreply(conn) == SMFIR_CONTINUE, "the message is not taken")
end

message()
assert(mt.eom_check(conn, MT_HDRINSERT, "X-Greylist", header, 0), "no header, or another")
assert(not mt.eom_check(conn, MT_HDRADD), "a header at the end")
assert(not mt.eom_check(conn, MT_HDRCHANGE), "a header is changed")
assert(not mt.eom_check(conn, MT_BODYCHANGE), "the body is changed")
message()
assert(not mt.eom_check(conn, MT_HDRINSERT), "a second header")
mt.disconnect(conn)
