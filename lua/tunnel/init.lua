--- What `require "tunnel"` gives: the core's functions, and what reads
--- better in Lua on top of them.
local core = require "tunnel.core"

--- Runs fn as a task and gives its results, or raises its error. In a plain
--- lua5.4 this runs the loop until fn has ended.
function core.run(fn, ...)
  return core.with_timeout(math.huge, fn, ...)
end

return core
