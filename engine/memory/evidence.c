#include "engine/memory/evidence.h"
