require "support"
local options = require "tunnel.options"

local list = {
  { "command", default = "echo", help = "what to run" },
  { "--times", type = "integer", min = 1, max = 9, default = 1 },
  { "--size", required = true, metavar = "BYTES" },
  { "--tag", repeatable = true },
}

describe("options", function()
  it("parses names, values and defaults", function()
    local args = options.parse(list, { "--size=5", "ls", "--tag", "a", "--tag=b" }, "app")
    assert.same({ command = "ls", times = 1, size = "5", tag = { "a", "b" } }, args)
  end)

  it("gives the raw words without a list", function()
    assert.same({ "--x", "y" }, options.parse(nil, { "--x", "y" }, "app"))
  end)

  it("names what is wrong, with the usage", function()
    local args, why, usage = options.parse(list, {}, "app")
    assert.is_nil(args)
    assert.equal("--size is required", why)
    assert.matches("^usage: app %[%-%-times TIMES%] %-%-size BYTES", usage)
  end)

  it("prints its help", function()
    local args, _, help = options.parse(list, { "--help" }, "app")
    assert.is_false(args)
    assert.matches("COMMAND%s+what to run %(default echo%)", help)
  end)

  it("refuses a declaration that makes no sense", function()
    assert.has_error(function() options.parse({ { "--x", typ = "integer" } }, {}, "a") end,
      "option --x: unknown field 'typ'")
    assert.has_error(function() options.parse({ { "--x", type = "date" } }, {}, "a") end,
      "option --x: unknown type 'date'")
    assert.has_error(function() options.parse({ { 5 } }, {}, "a") end,
      "options[1]: 5 is no name of an option")
  end)
end)
