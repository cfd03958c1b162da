/* Macros that other headers define (X11, Windows, AssertMacros, curses, old compilers): ours compile after them. The
 * standard library's headers come first, since many do not. */

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#else
#include <stddef.h>
#include <stdint.h>
#endif

#define Status int
#define Bool int
#define None 0L
#define True 1
#define False 0
#define Success 0
#define Always 2
#define Unsorted 0
#define Above 0
#define Below 1
#define KeyPress 2
#define Complex 0
#define DestroyAll 0
#define ERROR 0
#define NO_ERROR 0L
#define SUCCESS 0
#define FAILED(x) ((x) < 0)
#define SUCCEEDED(x) ((x) >= 0)
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define VOID void
#define DELETE 1
#define IGNORE 0
#define STRICT 1
#define TRUE 1
#define FALSE 0
#define interface struct
#define small char
#define near
#define far
#define pascal
#define cdecl
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define check(x) ((void)(x))
#define verify(x) ((void)(x))
#define require(x, label) ((void)(x))
#define assert_that(x) ((void)(x))
#define erase() 0
#define clear() 0
#define refresh() 0
#define major(x) (x)
#define minor(x) (x)
#define unix 1
#define linux 1
#define I 1
#define C 1
#define D 1
#define F 1
#define N 1
#define T 1
#define CHECK(x) ((void)(x))
#define LOG(x) ((void)(x))
#define DEBUG 1
#define emit
#define signals public
#define slots
#define foreach(a, b) for (;;)
