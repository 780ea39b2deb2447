-- What a script without capabilities can not do by these functions.
local tunnel = require "tunnel"
local check = require "check"
local t = {}

function t.a_simulation_runs_no_commands()
  local sim <close> = assert(tunnel.simulate{})
  local opened <close> = assert(sim:open{ workspace = sim:workspace{} })
  local conn = assert(opened:conn())
  local ssh <close> = assert(conn:ssh())
  local result, err = ssh:exec("touch /tmp/tunnelhost-escaped")
  check.equal(nil, result)
  check.equal(true, err ~= nil)
  local pty <close> = assert(conn:dial("tcp", 2))
  pty:send(("x"):rep(100))
  check.equal(nil, (pty:receive(1)))
end

function t.but_answers_by_a_function()
  local sim <close> = assert(tunnel.simulate{})
  local ws = sim:workspace{ on_exec = function(command, channel) channel:send(command) end }
  local opened <close> = assert(sim:open{ workspace = ws })
  local ssh <close> = assert(assert(opened:conn()):ssh())
  check.equal("hello", assert(ssh:exec("hello")).stdout)
end

function t.the_token_stays_with_its_deployment()
  check.code("denied", tunnel.open{ workspace = "w", url = "http://127.0.0.1:2" })
  local opened <close> = assert(tunnel.open{ workspace = "w", url = "http://127.0.0.1:1/" })
  check.equal(69, opened:wait{ state = "exit" }.status)
end

return check.app(t)
