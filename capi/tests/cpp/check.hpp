// What the programs in C++ have in common.
#ifndef CHECK_HPP
#define CHECK_HPP

#include "../c/check.h"

#include <ironhouse.hpp>

#include <cstring>

// The result of a call that throws, which has a reason too; IRONHOUSE_OK where it does not.
template <class Function> ironhouse_result_t thrown(Function &&function)
{
  try {
    function();
  } catch (const ironhouse::error &error) {
    CHECK(std::strlen(error.what()) > 0);
    return error.result();
  }
  return IRONHOUSE_OK;
}

#endif
