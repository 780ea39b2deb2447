/* What every cmocka file needs, in the order that cmocka.h wants. */
#ifndef TUNNELHOST_TESTS_TEST_H
#define TUNNELHOST_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
