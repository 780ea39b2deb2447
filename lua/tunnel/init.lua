--- What `require "tunnel"` gives: the core's functions, and what reads
--- better in Lua on top of them.
local core = require "tunnel.core"

return core
