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

---@alias tunnel.state
---| "init" | "waitToStart" | "waitForWorkspaceStarted" | "waitForAgent" | "establishTailnet" | "tailnetUp"
---| "applicationUp" | "shutdownApplication" | "shutdownTailnet" | "exit"

--- Opens a tunnel and returns at once. Nothing that goes wrong later is
--- raised: it ends the tunnel, and `wait` tells. Without `app` the tunnel is
--- `applicationUp` as soon as it is `tailnetUp`. An app runs in the caller's
--- own state; its tasks and handles end with the tunnel.
---@class tunnel.open_options
---@field workspace string|tunnel.simulated_workspace "[owner/]name[.agent]", a UUID, or a simulated one
---@field agent? string which of several
---@field app? table|string a table as an application file returns it, or the path of one
---@field args? string[] the app's arguments
---@field starter? string the path of a starter; default: a start build through the API
---@field url? string must be the deployment that is signed in to
---@field no_autostart? boolean a stopped workspace stays so
---@field no_wait_for_scripts? boolean connect while start-up scripts run
---@field timeout? number until the agent is ready; 600
---@field shutdown_timeout? number for winding down; 5
---@param options tunnel.open_options
---@return tunnel.opened?, tunnel.error?
function tunnel.open(options) end
--- The network between here and a deployment (the one signed in to): its
--- relays' latencies, our addresses as seen from outside. Touches no workspace.
---@param options? { url: string?, timeout: number? }
---@return tunnel.netcheck?, tunnel.error?
function tunnel.netcheck(options) end

--- A whole small deployment in this process, on loopback, in real time.
--- Without `on_exec` its workspaces run commands as child processes; in a
--- script without the capability to do so they refuse them.
---@param options? { token: string? }
---@return tunnel.simulation?, tunnel.error?
function tunnel.simulate(options) end

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

--- What is known of a tunnel; a snapshot.
---@class tunnel.stats
---@field path { direct: boolean, endpoint: string?, derp_region: string?, latency: number?, direct_received: integer, direct_sent: integer, relay_received: integer, relay_sent: integer }
---@field phases table<"coordinate"|"relay"|"peer"|"session"|"up"|"direct", number> seconds from the dial
---@field candidates { endpoint: string, latency: number?, used: boolean }[] where the agent may be reached
---@field network tunnel.network
---@field handshakes integer
---@field last_handshake number?
---@field timeline { state: tunnel.state, at: number }[]? not of tunnel.open's handle, which has a method

--- The network outside, by the STUN servers of the deployment.
---@class tunnel.network
---@field direct_allowed boolean
---@field udp boolean a STUN server has answered
---@field ipv4 string? our address as seen from outside
---@field ipv6 string?
---@field mapping "easy"|"hard"|nil hard: another port for each destination
---@field port integer? of our own socket
---@field home integer the home relay's region
---@field home_name string?
---@field home_up boolean
---@field endpoints string[] what is told to the agent
---@field regions { id: integer, name: string?, latency: number?, latency_ipv4: number?, latency_ipv6: number? }[]

---@class tunnel.netcheck: tunnel.network
---@field deployment string its URL
---@field deployment_latency number of one request, with connecting
---@field websockets_only boolean the deployment wants no relay by upgrade

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
---@return tunnel.stats?, tunnel.error?
function conn:stats() end
--- The agent's own speed test: how many bytes went one way in `duration`
--- seconds (5; at most 60), and in each second.
--- Bytes up count once they are acknowledged.
---@param options? { direction: "down"|"up"|nil, duration: number?, timeout: number? }
---@return { bytes: integer, seconds: number, samples: { from: number, to: number, bytes: integer }[] }?, tunnel.error?
function conn:speedtest(options) end
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

--- What tunnel.open gives. It is not collected before its exit.
---@class tunnel.opened
local opened = {}
--- True once the state is, or has been, reached ("applicationUp" unless said
--- otherwise); nil and why when the tunnel ends before. For "exit": once
--- everything is down.
---@param options? { state: tunnel.state?, timeout: number? }
---@return true|{ status: integer, reason: { kind: string, message: string, code: string? } }?, tunnel.error?
function opened:wait(options) end
--- The connection, once the agent answers.
---@param options? { timeout: number? }
---@return tunnel.conn?, tunnel.error?
function opened:conn(options) end
--- Winds down and waits for the exit; when the time runs out the winding
--- down goes on.
---@param options? { status: integer?, timeout: number? }
---@return true?, tunnel.error?
function opened:shutdown(options) end
---@return tunnel.state
function opened:state() end
--- The states so far; `at` is on the clock of tunnel.now().
---@return { state: tunnel.state, at: number }[]
function opened:timeline() end
--- Seconds from the dial to each phase of the connection.
---@return { state: tunnel.state, phases: { coordinate: number?, relay: number?, peer: number?, session: number?, up: number? } }
function opened:stats() end
--- Winds down, and waits for the exit.
function opened:close() end

---@class tunnel.simulation
---@field url string
---@field token string
local simulation = {}
---@class tunnel.exec_request
---@field kind "exec"|"shell"
---@field user string
---@field env table<string, string>
---@field stderr tunnel.stream
---@field term string?
---@field rows integer?
---@field columns integer?
---@class tunnel.workspace_options
---@field state? "running"|"stopped" "running"
---@field name? string "workspace", then "workspace2" …
---@field agents? integer 1: "main", "agent1" …
---@field fail? boolean builds fail
---@field on_exec? fun(command: string, channel: tunnel.stream, request: tunnel.exec_request): any its result is the status, as run's
---@field ports? table<integer, fun(stream: tunnel.stream)>
---@field parameters? table[] of the template, as Coder's rich parameters
---@param options? tunnel.workspace_options
---@return tunnel.simulated_workspace?, tunnel.error?
function simulation:workspace(options) end
--- tunnel.open against this deployment.
---@param options tunnel.open_options
---@return tunnel.opened?, tunnel.error?
function simulation:open(options) end
---@param options? { timeout: number? }
---@return tunnel.netcheck?, tunnel.error?
function simulation:netcheck(options) end
--- Closes all such sockets now.
---@param kind "watch"|"coordinate"|"derp"
---@return tunnel.fault?, tunnel.error?
function simulation:drop(kind) end
--- The next `times` (1; 0: all) requests whose path contains `path` get `status` (500).
---@param options { path: string, status: integer?, times: integer? }
---@return tunnel.fault?, tunnel.error?
function simulation:fail(options) end
--- Raises when tunnels to it are still open; they end all the same.
function simulation:close() end

---@class tunnel.simulated_workspace
---@field name string
---@field id string
local simulated = {}
--- Begins a build.
---@return true?, tunnel.error?
function simulated:start() end
---@return true?, tunnel.error?
function simulated:stop() end
---@return true?, tunnel.error?
function simulated:delete() end
--- Same agent, new keys: everything open to it is lost.
---@return tunnel.fault?, tunnel.error?
function simulated:restart_agent() end
--- One event to everybody who watches the workspace.
---@param event { build_update: table?, agent_update: table? }
---@return tunnel.fault?, tunnel.error?
function simulated:emit(event) end
function simulated:close() end

---@class tunnel.fault
---@field fired integer how often it has happened
local fault = {}
function fault:close() end

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
