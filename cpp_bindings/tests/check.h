/* The least that a test needs; C99 and C++. */
#ifndef ECHOES_TESTS_CHECK_H
#define ECHOES_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(claim)                                                       \
  do {                                                                     \
    if (!(claim)) {                                                        \
      fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #claim); \
      exit(1);                                                             \
    }                                                                      \
  } while (0)

#endif
