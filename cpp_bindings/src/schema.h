// The rules of manifest.schema.json, which the library holds as text.
#pragma once

#include "yyjson.h"

namespace echoes {

struct Range {
  double low;
  double high;
};

// Of a number of the object `sampling`, or of the numbers of an array in it.
Range sampling_range(const char *name);

// Throws ManifestError with the first key that breaks a rule, its value and what is allowed. Keys
// that the schema does not know are allowed.
void check_schema(yyjson_val *manifest);

}  // namespace echoes
