--- The arguments of an application, by its `options` table.
---
--- Positional (`{ "command" }`) or named (`{ "--times" }`); an option knows
--- type, min, max, choices, default, required, repeatable, metavar, help and
--- check. `parse` gives the arguments; or false, nil and the help; or nil,
--- what is wrong, and the usage.
local options = {}

local FIELDS = {
  type = "string", min = "number", max = "number", choices = "table",
  default = "any", required = "boolean", repeatable = "boolean",
  metavar = "string", help = "string", check = "function",
}
local TYPES = { string = true, integer = true, number = true, boolean = true }

local function declare(option, index)
  local name = option[1]
  if type(name) ~= "string" or not name:match("^%-?%-?%a[%w_-]*$") then
    error(("options[%d]: %s is no name of an option"):format(index, tostring(name)), 0)
  end
  for field, value in pairs(option) do
    local wanted = FIELDS[field]
    if field ~= 1 and not wanted then
      error(("option %s: unknown field '%s'"):format(name, tostring(field)), 0)
    end
    if wanted and wanted ~= "any" and type(value) ~= wanted then
      error(("option %s: '%s' must be a %s"):format(name, field, wanted), 0)
    end
  end
  local kind = option.type or "string"
  if not TYPES[kind] then
    error(("option %s: unknown type '%s'"):format(name, kind), 0)
  end
  return {
    name = name,
    named = name:sub(1, 1) == "-",
    key = name:gsub("^%-+", ""):gsub("-", "_"),
    kind = kind,
    rule = option,
  }
end

local function declare_all(list)
  local declared = { named = {}, positional = {}, all = {} }
  for index, option in ipairs(list) do
    if type(option) ~= "table" then
      error(("options[%d] must be a table"):format(index), 0)
    end
    local known = declare(option, index)
    if known.named then
      declared.named[known.name] = known
    else
      declared.positional[#declared.positional + 1] = known
    end
    declared.all[#declared.all + 1] = known
  end
  return declared
end

local function metavar(option)
  return option.rule.metavar or option.key:upper()
end

local function usage_of(option)
  local text = option.named and option.name or metavar(option)
  if option.named and option.kind ~= "boolean" then
    text = text .. " " .. metavar(option)
  end
  if option.rule.repeatable then text = text .. "..." end
  return option.rule.required and text or "[" .. text .. "]"
end

local function usage_line(declared, program)
  local words = { "usage: " .. program }
  for _, option in ipairs(declared.all) do
    if option.named then words[#words + 1] = usage_of(option) end
  end
  for _, option in ipairs(declared.positional) do
    words[#words + 1] = usage_of(option)
  end
  return table.concat(words, " ") .. "\n"
end

local function describe(option)
  local left = option.named and option.name or metavar(option)
  if option.named and option.kind ~= "boolean" then
    left = left .. " " .. metavar(option)
  end
  local rule, notes = option.rule, {}
  if rule.choices then
    local names = {}
    for i, choice in ipairs(rule.choices) do names[i] = tostring(choice) end
    notes[#notes + 1] = "one of " .. table.concat(names, ", ")
  end
  if rule.min then notes[#notes + 1] = "at least " .. rule.min end
  if rule.max then notes[#notes + 1] = "at most " .. rule.max end
  if rule.default ~= nil then notes[#notes + 1] = "default " .. tostring(rule.default) end
  local right = rule.help or ""
  if #notes > 0 then
    right = right .. (right ~= "" and " " or "") .. "(" .. table.concat(notes, "; ") .. ")"
  end
  return (("  %-24s %s"):format(left, right):gsub("%s+$", ""))
end

local function help_text(declared, program)
  local lines = { usage_line(declared, program) }
  for _, option in ipairs(declared.all) do
    lines[#lines + 1] = describe(option)
  end
  lines[#lines + 1] = "  " .. ("%-24s %s"):format("--help", "print this and exit")
  return table.concat(lines, "\n") .. "\n"
end

local CONVERT = {
  string = function(text) return text end,
  number = function(text)
    local value = tonumber(text)
    if not value then return nil, "a number" end
    return value
  end,
  integer = function(text)
    local value = math.tointeger(tonumber(text))
    if not value then return nil, "an integer" end
    return value
  end,
  boolean = function(text)
    if text == "true" or text == "yes" then return true end
    if text == "false" or text == "no" then return false end
    return nil, "yes or no"
  end,
}

local function chosen(value, choices)
  for _, choice in ipairs(choices) do
    if choice == value then return true end
  end
  return false
end

--- The value of one word; or nil and what is wrong with it.
local function convert(option, text)
  local rule = option.rule
  local value, wanted = CONVERT[option.kind](text)
  if value == nil then
    return nil, ("%s must be %s, not '%s'"):format(option.name, wanted, text)
  end
  if rule.choices and not chosen(value, rule.choices) then
    local names = {}
    for i, choice in ipairs(rule.choices) do names[i] = tostring(choice) end
    return nil, ("%s must be one of %s, not '%s'"):format(option.name,
      table.concat(names, ", "), text)
  end
  if rule.min and value < rule.min then
    return nil, ("%s must be at least %s, not %s"):format(option.name, rule.min, text)
  end
  if rule.max and value > rule.max then
    return nil, ("%s must be at most %s, not %s"):format(option.name, rule.max, text)
  end
  if rule.check then
    local ok, why = rule.check(value)
    if not ok then
      return nil, ("%s: %s"):format(option.name, tostring(why or "not allowed"))
    end
  end
  return value
end

local function set(args, option, value)
  if not option.rule.repeatable then
    if args[option.key] ~= nil then
      return nil, option.name .. " is given twice"
    end
    args[option.key] = value
    return true
  end
  local list = args[option.key] or {}
  list[#list + 1] = value
  args[option.key] = list
  return true
end

local function take(args, option, text)
  local value, why = convert(option, text)
  if value == nil then return nil, why end
  return set(args, option, value)
end

--- One `--name value`, `--name=value` or flag; gives the next index.
local function take_named(args, declared, argv, index)
  local name, text = argv[index]:match("^(%-[^=]*)=(.*)$")
  name = name or argv[index]
  local option = declared.named[name]
  if not option then
    local negated = name:match("^%-%-no%-(.+)$")
    option = negated and declared.named["--" .. negated]
    if not option or option.kind ~= "boolean" or text then
      return nil, "unknown option " .. name
    end
    text = "false"
  elseif option.kind == "boolean" then
    text = text or "true"
  elseif not text then
    index = index + 1
    text = argv[index]
    if not text then return nil, name .. " needs a value" end
  end
  local ok, why = take(args, option, text)
  if not ok then return nil, why end
  return index + 1
end

local function take_positional(args, declared, text, place)
  local option = declared.positional[place]
  if not option then
    return nil, ("unexpected argument '%s'"):format(text)
  end
  local ok, why = take(args, option, text)
  if not ok then return nil, why end
  return option.rule.repeatable and place or place + 1
end

local function fill(args, declared)
  for _, option in ipairs(declared.all) do
    if args[option.key] == nil then
      if option.rule.required then
        return nil, (option.named and option.name or metavar(option)) .. " is required"
      end
      args[option.key] = option.rule.default
    end
  end
  return true
end

local function collect(declared, argv)
  local args, index, place, literal = {}, 1, 1, false
  while argv[index] do
    local word, why = argv[index]
    if not literal and word == "--" then
      literal, index = true, index + 1
    elseif not literal and word:match("^%-%-?%a") then
      index, why = take_named(args, declared, argv, index)
      if not index then return nil, why end
    else
      place, why = take_positional(args, declared, word, place)
      if not place then return nil, why end
      index = index + 1
    end
  end
  local ok, why = fill(args, declared)
  if not ok then return nil, why end
  return args
end

local function wants_help(argv)
  for _, word in ipairs(argv) do
    if word == "--" then return false end
    if word == "--help" then return true end
  end
  return false
end

---@param list table? the `options` of the application
---@param argv string[]
---@param program string for the usage
function options.parse(list, argv, program)
  local declared = declare_all(list or {})
  if wants_help(argv) and not declared.named["--help"] then
    return false, nil, help_text(declared, program)
  end
  if not list then return argv end
  local args, why = collect(declared, argv)
  if args then return args end
  return nil, why, usage_line(declared, program)
end

return options
