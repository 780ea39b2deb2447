-- docs/bench.svg of the JSON lines of tests/bench/run, tunnelhost beside the
-- Go client. Plain Lua 5.4, readable on light and dark pages.
--   lua5.4 tests/bench/picture.lua [build/bench/bench.jsonl [docs/bench.svg]]
local source, target = arg[1] or "build/bench/bench.jsonl", arg[2] or "docs/bench.svg"

-- Panels in order: a figure, of which jobs, and whether decades are drawn.
local panels = {
  { title = "Throughput, Mbit/s (more is better)", figure = "mbit_s", log = true, only = "^%l" },
  { title = "At a distance, Mbit/s (more is better)", figure = "mbit_s", log = true, only = "^%d" },
  { title = "CPU seconds a GB of the client (less is better)", figure = "cpu_s_per_gb", log = true, only = "^%l" },
  { title = "Start to first byte, ms (less is better)", figure = "first_byte_ms" },
  { title = "Round trip under load, ms (less is better)", figure = "loaded_ping_ms", log = true, only = "^%l" },
  { title = "Peak memory of the client, MB (less is better)", figure = "peak_rss_mb", only = "^%l" },
}

local WIDTH, LABEL, VALUE, BAR, GAP, ROW, HEAD = 860, 270, 60, 9, 1, 25, 44

local function read(path)
  local rows = {}
  for line in assert(io.open(path)):lines() do
    local function text(name) return line:match('"' .. name .. '":"([^"]*)"') end
    local function number(name) return tonumber(line:match('"' .. name .. '":([%-%d.eE+]+)')) end
    rows[#rows + 1] = { group = text "group", job = text "job", figure = text "figure",
      ours = number "tunnelhost", go = number "go" }
  end
  return rows
end

local function escape(s) return (s:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })) end

local out, y = {}, 0
local function put(...) out[#out + 1] = string.format(...) end

local function short(value)
  return string.format(value >= 100 and "%.0f" or value >= 10 and "%.1f" or "%.2f", value)
end

local function of_panel(rows, panel)
  local found = {}
  for _, r in ipairs(rows) do
    if r.figure == panel.figure and r.group:find(panel.only or "") and (r.ours > 0 or r.go > 0) then
      found[#found + 1] = r
    end
  end
  return found
end

-- The range of a panel: decades, or from 0.
local function scale(found, log)
  local low, high = math.huge, 0
  for _, r in ipairs(found) do
    for _, v in ipairs{ r.ours, r.go } do
      if v > 0 then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  local room = WIDTH - LABEL - VALUE
  if not log then
    return function(v) return v / high * room end, {}
  end
  local first, last = math.floor(math.log(low, 10) - 0.05), math.ceil(math.log(high, 10))
  local function x(v) return v > 0 and math.max((math.log(v, 10) - first) / (last - first) * room, 1) or 0 end
  local marks = {}
  for decade = first, last do marks[#marks + 1] = 10.0 ^ decade end
  return x, marks
end

local function bar(class, top, length, value)
  put('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="1.5"/>', class, LABEL, top, length, BAR)
  put('<text class="value" x="%.1f" y="%d">%s</text>', LABEL + length + 4, top + BAR - 1, short(value))
end

local function draw(panel, found)
  local x, marks = scale(found, panel.log)
  put('<text class="title" x="0" y="%d">%s</text>', y + 18, escape(panel.title))
  y = y + HEAD
  for _, mark in ipairs(marks) do
    put('<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>', LABEL + x(mark), LABEL + x(mark), y - 6,
      y + #found * ROW - 4)
    put('<text class="value" text-anchor="middle" x="%.1f" y="%d">%g</text>', LABEL + x(mark), y - 10, mark)
  end
  for _, r in ipairs(found) do
    local name = r.job == "connect" and r.group or r.group .. ", " .. r.job
    put('<text class="label" text-anchor="end" x="%d" y="%d">%s</text>', LABEL - 8, y + BAR + 4, escape(name))
    bar("ours", y, x(r.ours), r.ours)
    bar("go", y + BAR + GAP, x(r.go), r.go)
    y = y + ROW
  end
  y = y + 14
end

local function legend()
  for i, name in ipairs{ "tunnelhost", "Go client" } do
    local x = (i - 1) * 110
    put('<rect class="%s" x="%d" y="4" width="12" height="12" rx="2"/>', i == 1 and "ours" or "go", x)
    put('<text class="label" x="%d" y="14">%s</text>', x + 18, name)
  end
  y = 30
end

local rows = read(source)
legend()
for _, panel in ipairs(panels) do
  local found = of_panel(rows, panel)
  if #found > 0 then draw(panel, found) end
end

local file = assert(io.open(target, "w"))
file:write(string.format([[
<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img"
 aria-label="tunnelhost beside the Go client">
<style>
text { font: 11px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.value { font-size: 10px; fill: #59636e }
.mark { stroke: #8c959f; stroke-opacity: .35 }
.ours { fill: #0969da }
.go { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.value { fill: #9198a1 }
.ours { fill: #4493f8 }
.go { fill: #656c76 }
}
</style>
]], WIDTH, y, WIDTH, y), table.concat(out, "\n"), "\n</svg>\n")
file:close()
