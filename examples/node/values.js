// Values in the form of messages. The loader drops what does not fit a message without a word: a
// `Date` arrives as 0 seconds, and a plain object as an empty `Struct`.
"use strict";

/** A google.protobuf.Timestamp. */
function timestamp(date) {
  const milliseconds = date.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanos: (milliseconds - seconds * 1000) * 1e6 };
}

/** A google.protobuf.Struct. */
function struct(object) {
  const fields = Object.entries(object).map(([key, value]) => [key, valueOf(value)]);
  return { fields: Object.fromEntries(fields) };
}

// The loader has google/protobuf built in and does not read it from the folder, so the fields of
// `Value` have the names of JavaScript, even with `keepCase`.
function valueOf(value) {
  switch (typeof value) {
    case "string":
      return { stringValue: value };
    case "number":
      return { numberValue: value };
    case "boolean":
      return { boolValue: value };
    case "object":
      if (value !== null && !Array.isArray(value)) return { structValue: struct(value) };
  }
  throw new TypeError(`metadata holds texts, numbers, booleans and objects, and not ${value}`);
}

module.exports = { struct, timestamp };
