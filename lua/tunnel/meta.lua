---@meta tunnel
--- The API as editors see it; docs/lua-api.md is the contract. A test
--- compares the names here with the functions that are registered.

---@alias tunnel.code
---| "timeout" | "closed" | "reset" | "refused" | "unreachable" | "canceled" | "denied" | "not_found"
---| "unauthorized" | "conflict" | "protocol" | "too_large" | "limit" | "internal"

--- The one error value; works in tostring, `..` and assert.
---@class tunnel.error
---@field code tunnel.code
---@field message string
---@field cause any
---@field traceback string?

---@class tunnel
---@field version string
local tunnel = {}

--- Runs fn in a task of its own.
---@param fn fun(...): ...
---@return tunnel.task
function tunnel.spawn(fn, ...) end

--- Structured concurrency: tasks that end together.
---@param options? { limit: integer? }
---@return tunnel.group
function tunnel.group(options) end

---@param seconds number
---@return true
function tunnel.sleep(seconds) end

--- Monotonic seconds.
---@return number
function tunnel.now() end

--- Runs fn; cancels it after `seconds` and gives nil, err then.
---@param seconds number
---@param fn fun(...): ...
function tunnel.with_timeout(seconds, fn, ...) end

--- Runs fn as a task and the loop until it has ended.
---@param fn fun(...): ...
function tunnel.run(fn, ...) end

---@param capacity? integer 0: a sender waits for a receiver
---@return tunnel.channel
function tunnel.channel(capacity) end

---@return tunnel.mutex
function tunnel.mutex() end

--- Calls fn with each connection, in a task of its own.
---@param address string "127.0.0.1:8080", "[::1]:0", "unix:/path"
---@param fn fun(stream: tunnel.stream)
---@return tunnel.listener?, tunnel.error?
function tunnel.listen(address, fn) end

---@param address string
---@param options? { timeout: number? }
---@return tunnel.stream?, tunnel.error?
function tunnel.connect(address, options) end

--- The process's stdin and stdout as one stream.
---@return tunnel.stream?, tunnel.error?
function tunnel.stdio() end

--- Moves bytes between two streams until both directions have ended.
---@param a tunnel.stream
---@param b tunnel.stream
---@param options? { timeout: number? }
---@return integer? a_to_b, integer|tunnel.error b_to_a, integer?, integer?
function tunnel.splice(a, b, options) end

---@return string
function tunnel.uuid() end

--- The environment, less what is secret.
---@param name string
---@return string?
function tunnel.env(name) end

---@class tunnel.log
tunnel.log = {}
---@param message string
---@param fields? table<string, any>
function tunnel.log.debug(message, fields) end
---@param message string
---@param fields? table<string, any>
function tunnel.log.info(message, fields) end
---@param message string
---@param fields? table<string, any>
function tunnel.log.warn(message, fields) end
---@param message string
---@param fields? table<string, any>
function tunnel.log.error(message, fields) end

---@class tunnel.json
---@field null userdata
tunnel.json = {}
---@param text string
---@param options? { max: integer? }
---@return any, tunnel.error?
function tunnel.json.decode(text, options) end
---@param value any
---@param options? { max: integer? }
---@return string?, tunnel.error?
function tunnel.json.encode(value, options) end

---@class tunnel.fsm
---@field states string[]
---@field events string[]
tunnel.fsm = {}
--- One step of the tunnel's state machine.
---@param state string|{ state: string, starter: boolean?, agent_id: string? }
---@param config? { no_autostart: boolean?, no_wait_for_scripts: boolean? }
---@param event table<string, table>
---@return string|table state, string[] actions
function tunnel.fsm.step(state, config, event) end

---@class tunnel.task
local task = {}
--- fn's results, or nil and the error.
---@param options? { timeout: number? }
function task:wait(options) end
--- Raises `canceled` at its current wait and every later one.
function task:cancel() end
--- Cancels it and waits for its end.
function task:close() end

---@class tunnel.group
local group = {}
---@param fn fun(...): ...
---@return tunnel.task?, tunnel.error?
function group:spawn(fn, ...) end
--- True once all have ended, or nil and the first failure.
---@param options? { timeout: number? }
---@return true?, tunnel.error?
function group:wait(options) end
--- Cancels what still runs and waits for it.
function group:close() end

---@class tunnel.channel
local channel = {}
---@param value any but nil
---@param options? { timeout: number? }
---@return true?, tunnel.error?
function channel:send(value, options) end
---@param options? { timeout: number? }
---@return any, tunnel.error?
function channel:receive(options) end
function channel:close() end

---@class tunnel.mutex
local mutex = {}
--- A guard for a `<close>` variable.
---@param options? { timeout: number? }
---@return tunnel.guard?, tunnel.error?
function mutex:lock(options) end
function mutex:unlock() end
function mutex:close() end

---@class tunnel.guard
local guard = {}
function guard:close() end

---@class tunnel.listener
local listener = {}
---@return string
function listener:local_address() end
function listener:close() end

---@class tunnel.stream
local stream = {}
--- Accepts all of it, or gives nil, err and how much was accepted.
---@param data string
---@param options? { timeout: number? }
---@return integer?, tunnel.error?, integer?
function stream:send(data, options) end
--- Until all is acknowledged.
---@param options? { timeout: number? }
---@return true?, tunnel.error?
function stream:flush(options) end
---@param what? integer|"l"|"a"
---@param options? { timeout: number?, max: integer? }
---@return string?, tunnel.error?, string? partial
function stream:receive(what, options) end
---@param max? integer
---@param options? { timeout: number? }
---@return string?, tunnel.error?, string? partial
function stream:receive_any(max, options) end
---@return fun(): string?
function stream:lines() end
---@param way "send"|"both"
---@return true?, tunnel.error?
function stream:shutdown(way) end
---@return string
function stream:local_address() end
---@return string
function stream:peer_address() end
function stream:close() end

---@class tunnel.datagram
local datagram = {}
---@param data string
---@return integer?, tunnel.error?
function datagram:send(data) end
---@param options? { timeout: number? }
---@return string?, tunnel.error?
function datagram:receive(options) end
function datagram:close() end

--- The connection to the workspace's agent.
---@class tunnel.conn
---@field tunnel tunnel.tunnel
---@field agent_id string
---@field agent_name string
---@field address string
local conn = {}
---@param network "tcp"|"udp"
---@param port integer
---@param options? { timeout: number? }
---@return (tunnel.stream|tunnel.datagram)?, tunnel.error?
function conn:dial(network, port, options) end
---@param options? { timeout: number? }
---@return { latency: number, direct: boolean, endpoint: string?, derp_region: string? }?, tunnel.error?
function conn:ping(options) end
---@param options? { timeout: number? }
---@return true?, tunnel.error?
function conn:await_reachable(options) end
---@param options? { timeout: number? }
---@return tunnel.ssh?, tunnel.error?
function conn:ssh(options) end
function conn:close() end

---@class tunnel.tunnel
local handle = {}
--- Begins to wind the tunnel down.
---@param options? { status: integer?, timeout: number? }
---@return true?, tunnel.error?
function handle:shutdown(options) end
---@return string
function handle:state() end
function handle:close() end

---@alias tunnel.pty boolean|{ term: string?, rows: integer?, columns: integer? }

---@class tunnel.ssh
local ssh = {}
---@param command string|string[]
---@param options? { stdin: string?, env: table<string, string>?, pty: tunnel.pty?, max: integer?, timeout: number? }
---@return { stdout: string, stderr: string, status: integer, signal: string? }?, tunnel.error?, string? partial
function ssh:exec(command, options) end
---@param command string|string[]
---@param options? { env: table<string, string>?, pty: tunnel.pty?, timeout: number? }
---@return tunnel.ssh_channel?, tunnel.error?
function ssh:open(command, options) end
---@param options? { env: table<string, string>?, pty: tunnel.pty?, timeout: number? }
---@return tunnel.ssh_channel?, tunnel.error?
function ssh:shell(options) end
---@param host string
---@param port integer
---@param options? { timeout: number? }
---@return tunnel.ssh_channel?, tunnel.error?
function ssh:forward(host, port, options) end
function ssh:close() end

---@class tunnel.ssh_channel: tunnel.stream
---@field stderr tunnel.stream
local ssh_channel = {}
---@param options? { timeout: number? }
---@return { status: integer, signal: string? }?, tunnel.error?
function ssh_channel:wait(options) end
---@param name string
---@return true?, tunnel.error?
function ssh_channel:signal(name) end
---@param rows integer
---@param columns integer
---@return true?, tunnel.error?
function ssh_channel:resize(rows, columns) end
function ssh_channel:close() end

--- What a starter gets.
---@class tunnel.workspace
---@field id string
---@field name string
---@field owner string
---@field template_id string
---@field active_version_id string?
---@field latest_build tunnel.build
---@field interactive boolean
---@field overrides table<string, string>
local workspace = {}
---@class tunnel.build
---@field id string
---@field number integer
---@field status string
---@field transition string
---@field template_version_id string
---@param options { transition: string?, parameters: table<string, string>?, template_version_id: string?, timeout: number? }
---@return tunnel.build?, tunnel.error?
function workspace:build(options) end
---@return tunnel.build[]?, tunnel.error?
function workspace:builds() end
---@return table<string, string>?, tunnel.error?
function workspace:build_parameters() end
---@param line string
function workspace:log(line) end
function workspace:close() end

return tunnel
