/* What the test programs have in common. */
#ifndef CHECK_H
#define CHECK_H

#include <ironhouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program where a condition does not hold. */
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s does not hold (last error: %s)\n", __FILE__, __LINE__, #condition,                    \
              ironhouse_last_error());                                                                                 \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* Ends the program where a call of the library fails. */
#define OK(call) CHECK((call) == IRONHOUSE_OK)

/* Ends the program where a call does not fail in this way, and with a reason. */
#define FAILS(result, call)                                                                                            \
  do {                                                                                                                 \
    CHECK((call) == (result));                                                                                         \
    CHECK(ironhouse_last_error()[0] != '\0');                                                                          \
  } while (0)

#endif
