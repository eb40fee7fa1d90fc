// Runs the suite against one proxy and prints what came out, as JSON:
// { ID: { kind, suite, name, needs: [ID], result: true | ["Assertion" | "Setup", why] } }
// Usage: node client.mjs BASE_URL '["excluded-id", …]' [ONLY_ID]; ONLY_ID shows its exchanges.
import process from 'node:process'

import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import fetch from 'node-fetch'

const AT_ONCE = 100
const [base, excluded, only] = process.argv.slice(2)
const leftOut = new Set(JSON.parse(excluded))

const meant = test => only === undefined
  ? test.browser_only !== true && !leftOut.has(test.id)
  : test.id === only
const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(meant) }))
const all = chosen.flatMap(suite => suite.tests.map(test => ({ suite: suite.id, ...test })))
if (only !== undefined) chosen.forEach(suite => suite.tests.forEach(test => { test.dump = true }))
if (all.length === 0) {
  console.error(`there is no test ${only}`)
  process.exit(2)
}
const unknown = only === undefined && [...leftOut].filter(
  id => !suites.some(suite => suite.tests.some(test => test.id === id)))
if (unknown.length > 0) {
  console.error(`excluded, but not in the suite: ${unknown}`)
  process.exit(2)
}

await runTests(chosen, fetch, false, base, AT_ONCE)
const results = getResults()
const report = {}
for (const test of all) {
  report[test.id] = {
    kind: test.kind ?? 'required',
    suite: test.suite,
    name: test.name,
    needs: test.depends_on ?? [],
    result: results[test.id]
  }
}
// The suite leaves connections open on some failures: do not wait for them.
process.stdout.write(JSON.stringify(report) + '\n', () => process.exit(0))
