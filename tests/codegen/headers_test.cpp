/* SPDX-License-Identifier: Apache-2.0 */

/* Every generated header, as C++. That this compiles is the test. */
#include "c_package.snap.h"
#include "comments.snap.h"
#include "files.snap.h"
#include "keywords.snap.h"
#include "long_names.snap.h"
#include "names.snap.h"
#include "no_package.snap.h"
#include "no_service.snap.h"

/* The members of the keywords' table can be named. */
void name_the_handlers(Register__Class__New__Handlers *handlers);

void name_the_handlers(Register__Class__New__Handlers *handlers)
{
    handlers->delete_ = nullptr;
    handlers->new_ = nullptr;
    handlers->class_ = nullptr;
    handlers->errno_ = nullptr;
    handlers->unix_ = nullptr;
    handlers->service = nullptr;
}
