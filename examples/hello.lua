-- The seed's integration test as a script: `echo foo` over SSH.
--   tunnelhost run examples/hello.lua W
--   tunnelhost run examples/hello.lua W -- "uname -a"
local app = {}

app.options = {
  { "command", default = "echo foo", help = "what to run in the workspace" },
}

function app.run(conn, args)
  local ssh <close> = assert(conn:ssh())
  local result = assert(ssh:exec(args.command))
  io.stderr:write(result.stderr)
  io.write(result.stdout)
  return result.status
end

return app
