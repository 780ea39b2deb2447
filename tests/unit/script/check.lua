-- A tiny suite: each named function is a test; the first failure ends the run.
local check = {}

function check.equal(expected, actual, what)
  if expected ~= actual then
    error(("%s: expected %s, got %s"):format(what or "value", tostring(expected),
      tostring(actual)), 2)
  end
end

function check.code(code, ok, err)
  if ok ~= nil then error("expected nil, got " .. tostring(ok), 2) end
  check.equal(code, err and err.code, "code of " .. tostring(err))
end

function check.raises(text, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("expected an error with '" .. text .. "'", 2) end
  if not tostring(err):find(text, 1, true) then
    error(("expected '%s' in '%s'"):format(text, tostring(err)), 2)
  end
end

function check.app(tests)
  local names = {}
  for name in pairs(tests) do names[#names + 1] = name end
  table.sort(names)
  return {
    run = function(conn, args)
      for _, name in ipairs(names) do
        local ok, err = xpcall(tests[name], function(e)
          return type(e) == "string" and e or tostring(e)
        end, conn, args)
        if not ok then error(name .. ": " .. tostring(err), 0) end
      end
    end,
  }
end

return check
