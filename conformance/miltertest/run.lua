-- Runs the script that the variable `script` names: of an error in a script of
-- its own miltertest says nothing.
local done, why = pcall(dofile, script)
if not done then
  io.stderr:write(why, "\n")
  os.exit(1)
end
