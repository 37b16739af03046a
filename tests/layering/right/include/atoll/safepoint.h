// Layer: safepoint
#pragma once
