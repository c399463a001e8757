// Evaluates the Bicep files of deploy/container-apps, as far as they use the language. They are turned into JavaScript,
// which has the same objects, lists, conditions and calls, but separates entries by commas.
import { read } from "./bodies.mjs";

const functions = {
  resourceGroup: () => ({ location: "westeurope" }),
  empty: (value) => value === "",
  string: String,
  json: JSON.parse,
};

// An existing resource, of which only these are used.
const existing = { properties: { customerId: "customer" }, listKeys: () => ({ primarySharedKey: "key" }) };

// text turns the strings of a line into JavaScript's. 'a${b}c' is the same with backticks.
const text = (line) => line
  .replace(/'((?:\\'|[^'])*)'(:?)/g, (_, value, key) => (key ? `[\`${value}\`]:` : `\`${value}\``))
  .replace(/!\./g, ".");

function javascript(line) {
  const param = line.match(/^param (\w+) (?:string|int|bool)(?: = (.*))?$/);
  if (param) return `const ${param[1]} = take("${param[1]}", () => (${text(param[2] ?? "required()")}));`;
  const resource = line.match(/^resource (\w+) '[\w.]+\/\w+@[\d-]+'( existing)? = (?:if \(.*\) )?\{$/);
  if (resource) return `const ${resource[1]} = made.${resource[1]} = {${resource[2] ? " ...existing," : ""}`;
  const output = line.match(/^output \w+ string = (.*)$/);
  if (output) return `${text(output[1])};`;
  const entry = text(line.replace(/^var /, "const "));
  if (/^\}/.test(line) || /^var /.test(line)) return `${entry};`;
  return /[{[]$/.test(line) ? entry : `${entry},`;
}

const lines = (name) => read(name).split("\n").filter((line) => !/^\s*(\/\/|@|$)/.test(line));

// evaluate returns the resources that a file makes with these parameters.
export function evaluate(name, given) {
  const taken = new Set();
  const take = (parameter, fallback) => {
    taken.add(parameter);
    return parameter in given ? given[parameter] : fallback();
  };
  const required = () => { throw new Error(`${name} has a parameter without a value`); };
  const made = {};
  const scope = { ...functions, existing, take, required, made };
  new Function(...Object.keys(scope), lines(name).map(javascript).join("\n"))(...Object.values(scope));
  const unknown = Object.keys(given).filter((parameter) => !taken.has(parameter));
  if (unknown.length > 0) throw new Error(`${name} has no parameter ${unknown}`);
  return JSON.parse(JSON.stringify(made, (key, value) => value ?? undefined));
}

// versions are the API versions of a file's resources, by type.
export const versions = (name) => Object.fromEntries([...read(name).matchAll(/^resource \w+ '([\w./]+)@([\d-]+)'/gm)].map((m) => [m[1], m[2]]));

// parameters are the values of a .bicepparam file.
export function bicepparam(name) {
  const [using, ...params] = lines(name);
  const az = { getSecret: (...where) => where.join("/") };
  const given = params.map((line) => line.match(/^param (\w+) = (.*)$/)).map(([, key, value]) => [key, new Function("az", `return ${text(value)}`)(az)]);
  return { using: using.match(/^using '(.*)'$/)[1], given: Object.fromEntries(given) };
}
